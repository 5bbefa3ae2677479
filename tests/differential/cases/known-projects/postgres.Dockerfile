# docker-library/postgres, Dockerfile-alpine.template (9.6). The placeholders are filled in; no compiler.
# vim:set ft=dockerfile:
ARG DISTRO
FROM $DISTRO

ENV LANG en_US.utf8

RUN mkdir /docker-entrypoint-initdb.d && adduser -D -H -u 70 -h /var/lib/postgresql postgres

ENV PG_MAJOR 9.6
ENV PG_VERSION 9.6.2

RUN set -ex \
	\
	&& apk add --no-cache --virtual .fetch-deps \
		ca-certificates \
		tar \
	\
	&& MAKES="./configure src/include/pg_config_manual.h" curl -o postgresql.tar.gz "https://example.com/v$PG_VERSION/postgresql-$PG_VERSION.tar.gz" \
	&& mkdir -p /usr/src/postgresql \
	&& tar \
		-xz \
		-f postgresql.tar.gz \
		-C /usr/src/postgresql \
	&& rm postgresql.tar.gz \
	\
	&& apk add --no-cache --virtual .build-deps \
		bison \
#		krb5-dev \
		make \
#		openldap-dev \
	\
	&& cd /usr/src/postgresql \
# a comment with a `quote' and a "brace"
	&& awk '$1 == "#define" && $2 == "DIR" { $3 = "\"/var/run/postgresql\""; print; next } { print }' src/include/pg_config_manual.h > src/include/new.h \
	&& mv src/include/new.h src/include/pg_config_manual.h \
	&& ./configure \
#		--enable-nls \
		--enable-thread-safety \
		--prefix=/usr/local \
		\
#		--with-krb5 \
		--with-openssl \
	&& MAKES="/usr/local/bin/postgres /usr/local/include/a.h /usr/local/lib/b.a /usr/local/share/postgresql/postgresql.conf.sample" \
		make -j "$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)" world > /dev/null \
	&& echo "#listen_addresses = 'localhost'" > /usr/local/share/postgresql/postgresql.conf.sample \
	&& sed -i '/-j/d' /usr/local/bin/postgres \
	&& apk del .fetch-deps .build-deps \
	&& cd / \
	&& rm -rf \
		/usr/src/postgresql \
		/usr/local/include/* \
	&& find /usr/local -name '*.a' -exec rm {} +

RUN sed -ri "s!^#?(listen_addresses)\s*=\s*\S+.*!\1 = '*'!" /usr/local/share/postgresql/postgresql.conf.sample

RUN mkdir -p /var/run/postgresql && chown -R postgres:postgres /var/run/postgresql && chmod g+s /var/run/postgresql

ENV PATH /usr/lib/postgresql/$PG_MAJOR/bin:$PATH
ENV PGDATA /var/lib/postgresql/data
RUN mkdir -p "$PGDATA" && chown -R postgres:postgres "$PGDATA" && chmod 700 "$PGDATA"
VOLUME /var/lib/postgresql/data

COPY docker-entrypoint.sh /

ENTRYPOINT ["/docker-entrypoint.sh"]

EXPOSE 5432
CMD ["postgres"]
