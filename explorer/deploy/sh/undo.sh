
[ -z "$policy" ] || fail 2 "--policy is for apply.sh" "$USAGE"
[ -r "$state" ] || fail 4 "$state: has no previous values" "apply.sh --apply writes them; a restart restores the clocks too"
while read -r name lowest highest; do
    case $name in '' | */* | .*) fail 4 "$state: is damaged" "restart the device to restore the clocks" ;; esac
    case $lowest:$highest in *[!0-9:]* | :* | *:) fail 4 "$state: is damaged" "restart the device to restore the clocks" ;; esac
    [ -r "$root/$PARENT/$name/$LOWEST" ] || fail 4 "$root/$PARENT/$name: does not exist" "restart the device"
    printf '%s: %s to %s and %s to %s %s\n' "$root/$PARENT/$name" "$LOWEST" "$lowest" "$HIGHEST" "$highest" "$UNIT"
done <"$state"
if [ "$act" = no ]; then
    printf 'nothing was changed: --apply restores the clock\n'
    exit 0
fi
restore || fail 4 "not everything could be restored" "run this as root, or restart the device"
rm -f "$state"
printf 'done\n'
