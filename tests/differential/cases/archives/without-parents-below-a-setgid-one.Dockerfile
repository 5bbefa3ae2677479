ARG BASE
FROM $BASE
ADD no-parents.tar /var/www
