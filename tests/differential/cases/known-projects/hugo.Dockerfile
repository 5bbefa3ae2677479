# gohugoio/hugo, Dockerfile (2016). MAINTAINER and fewer packages; go is a stand-in.
ARG DISTRO
FROM $DISTRO
MAINTAINER Some Body <somebody@example.com>

ENV GOPATH /go
ENV USER root

RUN go get github.com/stretchr/testify/assert \
	&& go get github.com/kyokomi/emoji \
	&& go get github.com/yosssi/ace

COPY . /go/src/github.com/spf13/hugo
RUN go install github.com/spf13/hugo

WORKDIR /go/src/github.com/spf13/hugo
RUN go build -o hugo main.go

