#!/usr/bin/env Rscript
# Reference values of statistic "huber": MASS's huber (k 1.5, scale the MAD) on simulated samples.
# Usage: Rscript make_huber.R > huber.tsv                 (MASS 7.3, R 4.2.2 were used; MASS is run, not copied)
# One row a value: number of the sample, the value, and the sample's location and scale.
suppressMessages(library(MASS))
set.seed(83)
out <- "sample\ty\tlocation\tscale"
for (k in 1:12) {
  n <- c(2, 3, 4, 5, 8, 13, 30, 31, 100, 257, 64, 64)[k]
  y <- signif(if (k %% 3 == 0) rexp(n) else if (k %% 3 == 1) rt(n, 2) else rnorm(n, 50, 3), 12)
  if (k == 12) y[1:20] <- y[1:20] + 40
  h <- huber(y)
  out <- c(out, sprintf("%d\t%.17g\t%.17g\t%.17g", k, y, h$mu, h$s))
}
writeLines(out)
