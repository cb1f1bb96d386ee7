
offers() { # succeeds if a folder offers the clock
    if [ -f "$1/$LISTED" ]; then
        within "$CLOCK" "$(words "$1/$LISTED")" || return 1
    else # some drivers give only the range of their clocks
        if [ ! -f "$1/$RANGE_LOW" ] || [ ! -f "$1/$RANGE_HIGH" ]; then return 1; fi
        [ "$(cat "$1/$RANGE_LOW")" -le "$CLOCK" ] || return 1
    fi
    [ ! -f "$1/$RANGE_HIGH" ] || [ "$(cat "$1/$RANGE_HIGH")" -ge "$CLOCK" ]
}

found='' seen=''
for folder in "$root/$PARENT"/*; do
    if [ ! -f "$folder/$HIGHEST" ] || [ ! -f "$folder/$LOWEST" ]; then continue; fi
    name=${folder##*/}
    listed=''
    [ ! -f "$folder/$LISTED" ] || listed=$(words "$folder/$LISTED")
    seen="$seen
    $name: ${listed:-lists no clocks}"
    if [ -n "$policy" ]; then
        [ "$name" = "$policy" ] || continue
        offers "$folder" || fail 3 "$name does not offer $CLOCK $UNIT$seen" "use another device or design"
    else
        # Match all clocks of the table exactly: two clusters of a chip may share some of them.
        if [ -z "$listed" ] || ! within "$listed" "$TABLE" || ! within "$TABLE" "$listed"; then continue; fi
        offers "$folder" || continue
    fi
    found="$found $name"
done
[ -n "$seen" ] || fail 3 "$root/$PARENT has no clocks that can be set" "run this on the device"
[ -n "$found" ] || fail 3 "nothing here has exactly the clocks of $DEVICE ($TABLE $UNIT):$seen" \
    "run this on the device, or name its part with --policy NAME"

for name in $found; do
    folder=$root/$PARENT/$name
    printf '%s: %s and %s to %s %s (now %s and %s)\n' "$folder" "$LOWEST" "$HIGHEST" "$CLOCK" "$UNIT" \
        "$(cat "$folder/$LOWEST")" "$(cat "$folder/$HIGHEST")"
done
if [ "$act" = no ]; then
    printf 'nothing was changed: --apply sets the clock, undo.sh restores the previous values\n'
    exit 0
fi

[ ! -e "$state" ] || fail 4 "$state: a clock was set already" "restore the previous one first: sh undo.sh --apply"
for name in $found; do
    folder=$root/$PARENT/$name
    printf '%s %s %s\n' "$name" "$(cat "$folder/$LOWEST")" "$(cat "$folder/$HIGHEST")"
done >"$state" || fail 4 "$state: cannot be written" "run this as root, or name another file with --state"
for name in $found; do
    set_both "$root/$PARENT/$name" "$CLOCK" "$CLOCK" && continue
    if restore; then rm -f "$state"; fi
    fail 4 "$root/$PARENT/$name does not take $CLOCK $UNIT" "run this as root; the previous values were restored if possible"
done
printf 'done; the previous values are in %s\n' "$state"
