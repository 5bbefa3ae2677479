# discourse/discourse_docker, image/base/Dockerfile. `&&\` without blanks, many ADDs, quotes in quotes; a fixed date.
# NAME:     discourse/base
# VERSION:  release
ARG DISTRO
FROM $DISTRO

ENV PG_MAJOR 10
ENV RAILS_ENV production

#LABEL maintainer="Some One \"https://example.com/someone\""

RUN echo 2.0.`date -d @0 +%Y%m%d` > /VERSION

RUN sh -c "false && echo 'Acquire { Retries \"0\"; HTTP { Proxy \"http://proxy:3128\";}; };' > /40proxy || true"

RUN echo "deb http://example.com/apt/ buster-pgdg main" | \
        tee /etc/postgres.list
RUN apt -y install build-essential git \
                       libxslt-dev \
                       postgresql-${PG_MAJOR} postgresql-client-${PG_MAJOR} \
                       cron
RUN cd / &&\
    apt -y install runit socat &&\
    mkdir -p /etc/runit/1.d &&\
    sed -i.bak 's/$ModLoad imklog/#$ModLoad imklog/' /etc/postgres.list &&\
    npm install -g uglify-js@"<3"

ADD install-nginx /tmp/install-nginx
RUN /tmp/install-nginx

# Validate
RUN sh -c "v=\`cat /VERSION\`; case \"\$v\" in 2.0.*) ;; *) exit 1; esac"

ADD thpoff.c /src/thpoff.c
RUN make -o /usr/local/sbin/thpoff /src/thpoff.c && rm /src/thpoff.c

# clean up for docker squash
RUN   rm -fr /usr/share/man &&\
      rm -fr /root/.gem &&\
      rm -fr /tmp/*


# this can probably be done: rm -fr `ls -d */ | grep -v en`

ADD runit-1 /etc/runit/1
ADD runit-1.d-cleanup-pids /etc/runit/1.d/cleanup-pids
ADD boot /sbin/boot

ADD cron /etc/service/cron/run

RUN useradd discourse -s /bin/bash -m -U &&\
    mkdir -p /var/www &&\
    cd /var/www &&\
    git clone https://example.com/discourse.git &&\
    cd discourse &&\
    chown -R discourse:discourse /var/www/discourse &&\
    su-exec discourse bundle install --deployment -o vendor/bundle/tmp/x &&\
    find /var/www/discourse/vendor/bundle -depth -name tmp -type d -exec rm -rf {} +
