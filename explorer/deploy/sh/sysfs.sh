
words() { # print the words of a file, separated by single spaces
    tr -s ' \t\n' '   ' <"$1" | sed 's/  */ /g; s/^ //; s/ $//'
}

put() { # arguments: value, file; succeeds if the file then has the value
    [ "$(cat "$2")" != "$1" ] || return 0
    { printf '%s\n' "$1" >"$2"; } 2>/dev/null && [ "$(cat "$2")" = "$1" ]
}

set_both() { # arguments: folder, lowest, highest; writes in the order that keeps lowest <= highest
    if [ "$3" -ge "$(cat "$1/$LOWEST")" ]; then
        put "$3" "$1/$HIGHEST" && put "$2" "$1/$LOWEST"
    else
        put "$2" "$1/$LOWEST" && put "$3" "$1/$HIGHEST"
    fi
}

restore() { # restore every folder from the file $state; report the folders that fail
    restored=yes
    while read -r name lowest highest; do
        set_both "$root/$PARENT/$name" "$lowest" "$highest" || {
            printf 'cannot write %s\n' "$root/$PARENT/$name" >&2
            restored=no
        }
    done <"$state"
    [ "$restored" = yes ]
}

act=no root=/sys state=/run/explorer-clock.state policy=''
while [ $# -gt 0 ]; do
    case $1 in
        --apply) act=yes ;;
        --sysfs | --state | --policy)
            [ $# -ge 2 ] || fail 2 "$1 needs a value" "$USAGE"
            case $1 in --sysfs) root=$2 ;; --state) state=$2 ;; --policy) policy=$2 ;; esac
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
