ARG BASE
FROM $BASE
ENV V=value
COPY <<one <<"two" <<-three /n/
$V ${V:-x} \$V "q"
one
$V
two
	tab $V
three
