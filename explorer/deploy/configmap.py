"""An immutable Kubernetes ConfigMap that carries a manifest."""

import json

from explorer.files import sha256

MAX_CONFIG_MAP_BYTES = 1 << 20  # what Kubernetes keeps of one


def config_map(manifest: str, *, title: str) -> str:
    """Return the ConfigMap as YAML.

    Its name tells its content, because an immutable one can only be replaced by another. Every character of the
    manifest is printable ASCII, so that a block of YAML holds it as it is.

    Args:
        manifest: the text of manifest.json.
        title: what it is of, for people.
    """
    digest = sha256(manifest)
    block = "".join(f"    {line}\n" for line in manifest.splitlines())
    return (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n"
        f"  name: explorer-{digest[:16]}\n"
        f"  annotations:\n    explorer/title: {json.dumps(title)}\n    explorer/manifest-sha256: {json.dumps(digest)}\n"
        f"immutable: true\ndata:\n  manifest.json: |\n{block}"
    )
