# spring-projects/spring-petclinic, Dockerfile (of a fork). The whole of it; mvnw calls a stand-in.
ARG DISTRO
FROM $DISTRO
WORKDIR /usr/src/app
COPY .mvn/ .mvn
COPY mvnw pom.xml ./
RUN ./mvnw dependency:go-offline
COPY . .
EXPOSE 8081
CMD [ "java", "-jar target/*.jar" ]

 
