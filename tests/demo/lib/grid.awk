# Rows with tabs as columns.
BEGIN { FS = "\t" }
{
  for (i = 1; i <= NF; i++) {
    cell[NR, i] = $i
    if (length($i) > width[i]) width[i] = length($i)
  }
  columns = NF
}
END {
  for (row = 1; row <= NR; row++) {
    line = ""
    for (i = 1; i <= columns; i++) line = line sprintf("%-" width[i] "s  ", cell[row, i])
    sub(/ +$/, "", line)
    print line
  }
}
