#!/bin/bash
# What the released postgres image's entrypoint does, as far as docker-compose.yml relies on it: an empty data folder becomes a cluster
# with the owner, the password and the database that the environment names, reachable by password from other hosts.
set -euo pipefail
if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  # shellcheck disable=SC2086 # several arguments
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") ${POSTGRES_INITDB_ARGS:-}
  printf '\nhost all all all scram-sha-256\n' >> "$PGDATA/pg_hba.conf"
  printf "\nlisten_addresses = '*'\n" >> "$PGDATA/postgresql.conf"
  pg_ctl start --wait --options="-c listen_addresses= -p ${PGPORT:-5432}"
  if [ "$POSTGRES_DB" != postgres ]; then
    psql --no-psqlrc --username="$POSTGRES_USER" --dbname=postgres --set=name="$POSTGRES_DB" <<< 'create database :"name";'
  fi
  pg_ctl stop --wait --mode=fast
fi
exec "$@"
