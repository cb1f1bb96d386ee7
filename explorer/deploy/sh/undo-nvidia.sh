
printf 'nvidia-smi -i %s -rgc\n' "$gpu"
if [ "$act" = no ]; then
    printf 'nothing was changed: --apply does it; a lock of before apply-nvidia.sh does not come back\n'
    exit 0
fi
nvidia-smi -i "$gpu" -rgc || fail 4 "the clock of GPU $gpu cannot be reset" "run this as root"
