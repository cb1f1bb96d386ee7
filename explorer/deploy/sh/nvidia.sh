
act=no gpu=0
while [ $# -gt 0 ]; do
    case $1 in
        --apply) act=yes ;;
        --gpu)
            [ $# -ge 2 ] || fail 2 "$1 needs a value" "$USAGE"
            gpu=$2
            shift
            ;;
        -h | --help)
            printf '%s\n' "$USAGE"
            exit 0
            ;;
        *) fail 2 "unknown option '$1'" "$USAGE" ;;
    esac
    shift
done
case $gpu in '' | *[!0-9]*) fail 2 "'$gpu' is not a GPU number" "$USAGE" ;; esac
command -v nvidia-smi >/dev/null || fail 3 "nvidia-smi is not installed" "run this on the machine with the GPU and its driver"
