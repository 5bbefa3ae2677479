# docker-library/python, 3.12/slim-bookworm/Dockerfile. No compiler, gpg and ldd; the rest of its shell stays.
ARG DISTRO
FROM $DISTRO

# before the distribution's own
ENV PATH /usr/local/bin:$PATH

ENV LANG C.UTF-8

RUN set -eux; \
	apt-get update; \
	apt-get install -y --no-install-recommends \
		ca-certificates \
		tzdata \
	; \
	rm -rf /var/lib/apt/lists/*

ENV GPG_KEY 0000000000000000000000000000000000000000
ENV PYTHON_VERSION 3.12.10rc1

RUN set -eux; \
	\
	savedAptMark="$(apt-mark showmanual)"; \
	apt-get update; \
	apt-get install -y --no-install-recommends \
		gcc \
		make \
	; \
	\
	curl -o python.tar.xz "https://example.com/python/${PYTHON_VERSION%%[a-z]*}/Python-$PYTHON_VERSION.tar.xz"; \
	GNUPGHOME="$(mktemp -d)"; export GNUPGHOME; \
	gpgconf --kill all; \
	rm -rf "$GNUPGHOME"; unset GNUPGHOME; \
	mkdir -p /usr/src/python; \
	tar -xz -C /usr/src/python -f python.tar.xz; \
	rm python.tar.xz; \
	\
	cd /usr/src/python; \
	LDFLAGS="${LDFLAGS:--Wl},--strip-all"; \
		arch="x86-amd64"; arch="${arch##*-}"; \
# why this is so
		case "$arch" in \
			amd64|arm64) \
				# only there
				EXTRA_CFLAGS="${EXTRA_CFLAGS:-} -fno-omit-frame-pointer"; \
				;; \
			*) \
				# nowhere else
				EXTRA_CFLAGS="${EXTRA_CFLAGS:-}"; \
				;; \
		esac; \
	MAKES="/usr/local/bin/python3 /usr/local/bin/pip3 /usr/local/lib/test/a.py /usr/local/lib/a.pyc" \
	make install \
		"EXTRA_CFLAGS=${EXTRA_CFLAGS:-}" \
		"LDFLAGS=${LDFLAGS:--Wl},-rpath='\$\$ORIGIN/../lib'" \
	; \
	cd /; \
	rm -rf /usr/src/python; \
	\
	find /usr/local -depth \
		\( \
			\( -type d -a \( -name test -o -name tests \) \) \
			-o \( -type f -a \( -name '*.pyc' -o -name '*.pyo' \) \) \
		\) -exec rm -rf '{}' + \
	; \
	\
	apt-mark auto '.*' > /dev/null; \
	apt-mark manual $savedAptMark; \
	apt-get purge -y --auto-remove -o APT::AutoRemove::RecommendsImportant=false gcc make; \
	rm -rf /var/lib/apt/lists/*; \
	\
	python3 --version

RUN set -eux; \
	for src in pip3 python3; do \
		dst="$(echo "$src" | tr -d 3)"; \
		[ -s "/usr/local/bin/$src" ]; \
		[ ! -e "/usr/local/bin/$dst" ]; \
		ln -svT "$src" "/usr/local/bin/$dst"; \
	done

CMD ["python3"]
