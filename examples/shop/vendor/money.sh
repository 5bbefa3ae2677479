# money 1.0: prices for shell scripts. MIT.

# money CENTS: 1250 -> 12.50
money() {
    printf '%d.%02d' "$(($1 / 100))" "$(($1 % 100))"
}
