
printf 'nvidia-smi -i %s -rgc\n' "$gpu"
if [ "$act" = no ]; then
    printf 'nothing was changed: --apply removes the lock; a lock set before apply-nvidia.sh is not restored\n'
    exit 0
fi
nvidia-smi -i "$gpu" -rgc || fail 4 "the clock of GPU $gpu cannot be reset" "run this as root"
