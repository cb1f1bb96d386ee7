
offered=$(nvidia-smi -i "$gpu" --query-supported-clocks=graphics --format=csv,noheader,nounits) ||
    fail 3 "nvidia-smi does not report the clocks of GPU $gpu" "name another with --gpu"
within "$CLOCK" "$(printf '%s' "$offered" | tr '\n' ' ')" ||
    fail 3 "GPU $gpu does not offer $CLOCK MHz" "use another device or design; nvidia-smi -q -d SUPPORTED_CLOCKS lists them"
printf 'nvidia-smi -i %s -lgc %s,%s\n' "$gpu" "$CLOCK" "$CLOCK"
if [ "$act" = no ]; then
    printf 'nothing was changed: --apply locks the clock, undo-nvidia.sh removes the lock\n'
    exit 0
fi
nvidia-smi -i "$gpu" -lgc "$CLOCK,$CLOCK" || fail 4 "GPU $gpu does not take $CLOCK MHz" "run this as root"
