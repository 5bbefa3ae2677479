FROM scratch AS a
FROM a
