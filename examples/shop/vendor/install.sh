# Installs the libraries: sh install.sh DIRECTORY
set -eu

mkdir -p "$1"
for library in money.sh page.sh; do
    echo "installing $(head -n 1 "$library" | tr -d '#')"
    sh -n "$library"
    cp "$library" "$1/"
done
date -u '+installed %F %T' > "$1/INSTALLED"
