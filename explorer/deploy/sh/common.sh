
fail() { # arguments: exit code, error, fix
    printf 'error: %s\n  fix: %s\n' "$2" "$3" >&2
    exit "$1"
}

within() { # succeeds if every word of $1 is a word of $2
    for word in $1; do
        case " $2 " in *" $word "*) ;; *) return 1 ;; esac
    done
}
