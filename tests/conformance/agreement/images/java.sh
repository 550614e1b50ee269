# shellcheck shell=bash
# Jars from Maven Central: as they are, in a Spring Boot jar, in a war in an ear, and two that hold others' classes.
inputs=("$here"/java/{artifacts.txt,pack.py})

build() {
  root "$work/1" debian 12 "Debian GNU/Linux 12 (bookworm)"
  local artifact jars="$work/jars"
  while read -r artifact; do
    mvn --quiet --batch-mode dependency:copy -Dartifact="$artifact" -DoutputDirectory="$jars"
  done < <(sed 's/#.*//' "$here/java/artifacts.txt" | awk 'NF')
  python3 "$here/java/pack.py" "$jars" "$work/1/srv/java"
}
