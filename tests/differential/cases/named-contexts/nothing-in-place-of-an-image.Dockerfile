FROM empty
COPY own.txt /
