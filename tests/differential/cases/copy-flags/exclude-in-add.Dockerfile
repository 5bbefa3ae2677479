ARG BASE
FROM $BASE
ADD --exclude=*.md src /n/
