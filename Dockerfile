# The image of the GitHub Action and of GitLab jobs: Python, git, Helm and Lineal on Debian.
# docs/architecture.md says how it is built, what is in it and how large that is.
#
#   lineal build                 or, without history:   docker build --tag lineal .
#
# Behind a proxy that signs with its own authority, give pip's settings and that certificate as secrets:
#   --secret id=pip.conf,src=…  --secret id=ca.crt,src=…  (pip.conf then says `cert = /run/secrets/ca.crt`).
ARG BASE=debian:trixie-slim

# What apt adds to the base, as the tree /added: without documentation, logs and caches, and nothing of it newer than
# the packages themselves, so that two builds with the same packages give the same layer.
FROM ${BASE} AS debian
RUN <<SHELL
set -eu
export DEBIAN_FRONTEND=noninteractive PYTHONHASHSEED=0
touch /before
apt-get -qq update
apt-get -qq install --yes --no-install-recommends ca-certificates git python3
# Git's Perl scripts and servers are not for a pipeline, and would be a fifth of the image.
dpkg --purge --force-depends git-man liberror-perl libperl5.40 perl perl-modules-5.40 >/dev/null 2>&1
cd /usr/lib/git-core
rm git-daemon git-http-backend git-http-fetch git-http-push git-imap-send git-shell scalar /usr/bin/git-shell /usr/bin/scalar
ln -sf ../../bin/git git
rm -r /usr/lib/python3*/test /usr/lib/python3*/pydoc_data /var/lib/dpkg/*-old
mkdir /added
cd /
find . -xdev \( -path ./added -o -path ./dev -o -path ./proc -o -path ./run -o -path ./sys -o -path ./tmp \
    -o -path ./root -o -path ./var/cache -o -path ./var/lib/apt -o -path ./var/log -o -path './etc/host*' \
    -o -path ./etc/machine-id -o -path ./etc/resolv.conf -o -path ./before -o -path ./.dockerenv \
    -o -path './usr/share/doc/*/*' ! -name copyright \
    -o -path ./usr/share/man -o -path ./usr/share/info -o -path ./usr/share/locale -o -path ./usr/share/lintian \
    -o -path ./usr/share/bash-completion -o -path ./usr/share/gitweb -o -path ./usr/share/perl5 \) -prune \
  -o -type d -print0 -o -cnewer /before -print0 |
  tar --create --null --no-recursion --files-from=- | tar --extract --directory=/added
find /added -mindepth 1 -depth -type d -empty -delete
find /added -newer /before -exec touch --no-dereference --date=@315619200 {} +
find /added -type d -exec touch --date=@315619200 {} +
SHELL

# Python packages and Helm in /usr/local, from hashes. Compiled here, once for all (sets in it have an order: that of
# PYTHONHASHSEED), and never looked at again whether the source is newer.
FROM ${BASE} AS packages
RUN apt-get -qq update && \
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends ca-certificates python3-pip
ENV PIP_CONFIG_FILE=/run/secrets/pip.conf PIP_NO_CACHE_DIR=1 PIP_BREAK_SYSTEM_PACKAGES=1 \
    PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1 PYTHONHASHSEED=0
COPY tests/tools/helm.py /
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt \
    python3 helm.py /usr/local/bin helm4 && mv /usr/local/bin/helm4 /usr/local/bin/helm
COPY requirements/image.txt /
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt <<SHELL
set -eu
pip install --no-compile --require-hashes --only-binary=:all: --requirement image.txt
# Lineal reads git objects with dulwich; the commands, clients and servers of dulwich are a third of it.
cd /usr/local/lib/python3*/dist-packages/dulwich
rm -r __main__.py _diff_tree.* aiohttp cli.py client.py cloud porcelain server.py tests web.py /usr/local/bin/dulwich
# Of rich, Lineal has what writes on a terminal, without colours for source texts; of cffi what compiled modules need.
cd ..
rm -r pygments markdown_it mdurl cffi pycparser /usr/local/bin/pygmentize /usr/local/bin/markdown-it /usr/local/bin/cffi-gen-src
cd /usr/local
python3 -m compileall -q --invalidation-mode unchecked-hash lib
find . -exec touch --no-dereference --date=@315619200 {} +
SHELL

# Lineal itself: what changes most often is the last and smallest layer.
FROM packages AS lineal
COPY requirements/image-build.txt /
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt \
    pip install --require-hashes --only-binary=:all: --target /build --requirement image-build.txt
COPY pyproject.toml LICENSE /source/
COPY src /source/src
COPY entrypoint.sh /image/
RUN <<SHELL
set -eu
cd /source
touch README.md
export SOURCE_DATE_EPOCH=315619200
PYTHONPATH=/build python3 -m hatchling build --target wheel --directory /wheel >/dev/null
pip install --no-compile --no-warn-script-location --no-index --no-deps --root /image /wheel/*.whl
rm /image/usr/local/lib/python3*/dist-packages/lineal-*.dist-info/direct_url.json
python3 -m compileall -q --invalidation-mode unchecked-hash -s /image /image/usr/local/lib
find /image -exec touch --no-dereference --date=@315619200 {} +
SHELL

# The command line as one file, for machines and images of others: `COPY --from=…:v1-cli /lineal /usr/local/bin/`. Its
# wheels are for the machines that it is to run on, whichever this is.
FROM --platform=$BUILDPLATFORM ${BASE} AS wheels
RUN apt-get -qq update && \
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends ca-certificates python3-pip
ENV PIP_CONFIG_FILE=/run/secrets/pip.conf PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONPATH=/build
COPY requirements/image.txt requirements/image-build.txt /source/requirements/
COPY onefile /source/onefile
ARG TARGETARCH
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt <<SHELL
set -eu
cd /source
pip install --quiet --require-hashes --only-binary=:all: --target /build --requirement requirements/image-build.txt
case $TARGETARCH in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; esac
python3 onefile/build.py wheels "$machine" /wheels
SHELL

FROM wheels AS onefile
COPY LICENSE /source/
COPY src /source/src
RUN python3 /source/onefile/build.py file /wheels /lineal

FROM scratch AS cli
COPY --from=onefile /lineal /lineal

FROM ${BASE}
LABEL org.opencontainers.image.title="Lineal" \
      org.opencontainers.image.description="Container images along the line of git history" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/your_org/lineal"
COPY --from=debian /added /
COPY --from=packages /usr/local /usr/local
COPY --from=lineal /image /
ENTRYPOINT ["/entrypoint.sh"]
