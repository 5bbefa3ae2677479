# dotnet/dotnet-docker, samples/aspnetapp/Dockerfile. The whole of it; dotnet is a stand-in.
# See there
ARG DISTRO
FROM $DISTRO AS build
WORKDIR /source

# restore first
COPY aspnetapp/*.csproj .
RUN dotnet restore --use-current-runtime  

COPY aspnetapp/. .
RUN MAKES="/app/aspnetapp.dll /app/wwwroot/a.css" dotnet publish --use-current-runtime --self-contained false --no-restore


FROM $DISTRO
WORKDIR /app
COPY --from=build /app .
ENTRYPOINT ["dotnet", "aspnetapp.dll"]
