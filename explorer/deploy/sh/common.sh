
fail() { # exit code, what is wrong, how to mend it
    printf 'error: %s\n  fix: %s\n' "$2" "$3" >&2
    exit "$1"
}

within() { # tells whether every word of $1 is a word of $2
    for word in $1; do
        case " $2 " in *" $word "*) ;; *) return 1 ;; esac
    done
}
