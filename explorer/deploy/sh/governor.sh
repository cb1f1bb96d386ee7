
pick() { # argument: slack in ns; print the clock of the last point of POINTS, fast to slow, whose least slack is not more
    picked=''
    while read -r slack clock; do
        [ "$slack" -le "$1" ] || break
        picked=$clock
    done <<END
$POINTS
END
    [ -n "$picked" ] && printf '%s\n' "$picked"
}

case ${1-} in
    -h | --help)
        printf '%s\n' "$USAGE"
        exit 0
        ;;
    --list)
        printf 'least slack ns, clock %s:\n%s\n' "$UNIT" "$POINTS"
        exit 0
        ;;
    '' | *[!0-9]*) fail 2 "'${1-}' is not a slack in whole nanoseconds" "$USAGE" ;;
esac
[ $# -eq 1 ] || fail 2 "$# arguments given" "$USAGE"
[ ${#1} -le 18 ] || fail 2 "a slack of $1 ns is too long" "$USAGE"
if pick "$1"; then exit 0; fi
read -r least fastest <<END
$POINTS
END
fail 4 "no operating point holds a slack of $1 ns" "set the fastest, $fastest $UNIT, which needs $least ns"
