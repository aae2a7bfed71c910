#!/usr/bin/env Rscript
# Reference values of background method "movingmin" on the physical grid: limma's matrix + printer route.
# Usage: Rscript make_movingmin.R > movingmin.tsv        (limma 3.54.1, R 4.2.2 were used; limma is run, not copied)
# One row a spot: case, tip row and column, row and column in the tip, foreground E, background Eb, limma's result.
suppressMessages(library(limma))
set.seed(31)
num <- function(x) ifelse(is.na(x), "NA", sprintf("%.17g", x))
layouts <- list(c(2, 2, 3, 4), c(1, 3, 5, 2), c(3, 1, 1, 4), c(1, 1, 4, 4), c(4, 4, 3, 3))
out <- "case\ttip_row\ttip_column\trow\tcolumn\tE\tEb\tmovingmin"
for (k in seq_along(layouts)) {
  l <- layouts[[k]]
  g <- expand.grid(column = seq_len(l[4]), row = seq_len(l[3]), tip_column = seq_len(l[2]), tip_row = seq_len(l[1]))
  n <- nrow(g)
  E <- matrix(round(rexp(n, 1 / 800) + 200), n, 1)
  Eb <- matrix(round(rnorm(n, 100, 30)), n, 1)
  if (k %in% c(1, 5)) { E[sample(n, 2)] <- NA; Eb[sample(n, 6)] <- NA }
  printer <- list(ngrid.r = l[1], ngrid.c = l[2], nspot.r = l[3], nspot.c = l[4])
  b <- backgroundCorrect.matrix(E, Eb, method = "movingmin", printer = printer, verbose = FALSE)
  out <- c(out, paste(k, g$tip_row, g$tip_column, g$row, g$column, num(E), num(Eb), num(b), sep = "\t"))
}
writeLines(out)
