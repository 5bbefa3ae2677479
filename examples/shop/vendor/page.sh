# page 2.1: HTML pages for shell scripts. MIT.

# page TITLE: a CGI answer, the body is read from stdin.
page() {
    printf 'Content-Type: text/html; charset=utf-8\r\n\r\n'
    printf '<!doctype html>\n<title>%s</title>\n<h1>%s</h1>\n' "$1" "$1"
    cat
}
