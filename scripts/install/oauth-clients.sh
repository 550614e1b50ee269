#!/usr/bin/env bash
# Installs OAuth and JOSE libraries of other languages, each of a pinned version, into the cache; prints the folder.
set -euo pipefail

node=(oauth4webapi@3.8.8 jose@6.2.18 oidc-provider@9.13.3)
python=(authlib==1.9.10 jwcrypto==1.6.1 requests==2.34.2)
folder="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}/oauth"
wanted="${node[*]} ${python[*]}"

if [[ "$(cat "$folder/installed" 2>/dev/null)" != "$wanted" ]]; then
  echo "oauth clients: installing into $folder" >&2
  rm -rf "$folder"
  mkdir -p "$folder"
  command -v npm >/dev/null || "$(dirname "$0")/debian.sh" nodejs npm >&2
  npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$folder" "${node[@]}" >&2
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" -q install --disable-pip-version-check "${python[@]}" >&2
  echo "$wanted" > "$folder/installed"
fi
echo "$folder"
