# jenkinsci/docker, debian/bookworm/hotspot/Dockerfile. Four lines of it, about JENKINS_VERSION.
ARG DISTRO
FROM $DISTRO
ARG JENKINS_VERSION
ENV JENKINS_VERSION=${JENKINS_VERSION:-2.479}
ARG JENKINS_URL=https://example.com/${JENKINS_VERSION}/jenkins-war-${JENKINS_VERSION}.war
RUN curl -fsSL ${JENKINS_URL} -o /jenkins.war
