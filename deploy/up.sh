#!/bin/sh
# All processes of one machine under one command, without containers: what dies is started again, SIGTERM or Ctrl-C stops all.
#
#   deploy/up.sh                               # on the home of FORECAST_ASSETS_HOME, or ./var
#   API_PORT=8080 WEBSERVER_PORT=3000 FIRST_PORT=8001 SECOND_PORT=8002 CODE_LOCATION_PORT=4000 deploy/up.sh
#   supervisorctl -s unix://$PWD/var/supervisor.sock status
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=${FORECAST_ASSETS_HOME:-var}
mkdir -p "$home/dagster" "$home/logs"
FORECAST_ASSETS_HOME=$(cd "$home" && pwd)
DAGSTER_HOME=$FORECAST_ASSETS_HOME/dagster
[ -e "$DAGSTER_HOME/dagster.yaml" ] || cp "$here/../resources/dagster.yaml" "$DAGSTER_HOME/dagster.yaml"

: "${API_PORT:=8080}" "${WEBSERVER_PORT:=3000}" "${FIRST_PORT:=8001}" "${SECOND_PORT:=8002}" "${CODE_LOCATION_PORT:=4000}"
DEPLOY=$here
CODE_LOCATION_HOST=127.0.0.1
BALANCED_AT=127.0.0.1:$API_PORT
FIRST_SERVICE=127.0.0.1:$FIRST_PORT
SECOND_SERVICE=127.0.0.1:$SECOND_PORT
# Without HAProxy each process of the API answers under its own port.
if command -v haproxy > /dev/null; then WITH_BALANCER=true; else WITH_BALANCER=false; fi
# Without anybody to tell, the follower would end at once.
if [ -n "${FORECAST_ASSETS_BROKER:-}${FORECAST_ASSETS_WEBHOOKS:-}" ]; then WITH_OUTBOX=true; else WITH_OUTBOX=false; fi
export FORECAST_ASSETS_HOME DAGSTER_HOME DEPLOY CODE_LOCATION_HOST CODE_LOCATION_PORT API_PORT WEBSERVER_PORT FIRST_PORT \
    SECOND_PORT BALANCED_AT FIRST_SERVICE SECOND_SERVICE WITH_BALANCER WITH_OUTBOX
exec supervisord --nodaemon --configuration "$here/supervisord.conf"
