#!/bin/sh
# Starts Redis or Valkey under redis.conf with the users of users.acl. Their passwords are files, one a user, in
# $SECRETS; the server is given digests of them. Its data goes to $DATA. Arguments are handed on to the server.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
secrets=${SECRETS:-/run/secrets}
users=${ACL_FILE:-/tmp/users.acl}
data=${DATA:-/data}
server=$(command -v "${STORE_SERVER:-redis-server}" || command -v valkey-server)
umask 077
: >"$users"
while IFS= read -r line || [ -n "$line" ]; do
  case $line in
  *'>'*)
    before=${line%%>*}
    after=${line#*>}
    name=${after%% *}
    [ -s "$secrets/$name" ] || { echo "start-store: there is no password in $secrets/$name" >&2; exit 1; }
    digest=$(tr -d '\r\n' <"$secrets/$name" | sha256sum)
    line="$before#${digest%% *} ${after#* }"
    ;;
  esac
  printf '%s\n' "$line" >>"$users"
done <"$here/users.acl"
exec "$server" "$here/redis.conf" --dir "$data" --aclfile "$users" "$@"
