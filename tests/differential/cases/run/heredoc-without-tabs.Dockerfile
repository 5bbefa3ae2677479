ARG BASE
FROM $BASE
RUN <<-EOF
	echo a >/a
	EOF
