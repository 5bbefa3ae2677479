ARG BASE
FROM $BASE
COPY <<-EOF /x
	one
		two
	EOF
