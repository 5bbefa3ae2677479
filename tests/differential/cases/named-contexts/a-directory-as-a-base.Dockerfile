FROM assets
COPY own.txt /
ENV A=b
