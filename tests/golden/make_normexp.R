#!/usr/bin/env Rscript
# Reference values of limma's background methods on data generated here.
# Usage: Rscript make_normexp.R OUT_DIR       writes background.tsv and normexp.tsv
# (limma 3.54.1, R 4.2.2 were used; limma is run, not copied). "NA" is missing; 17 significant digits.
suppressMessages(library(limma))
set.seed(53)
dir <- commandArgs(TRUE)[1]
num <- function(x) ifelse(is.na(x), "NA", sprintf("%.17g", x))
n <- 220
sets <- list(
  float   = list(E = round(rnorm(n, 300, 40) + rexp(n, 1 / 900), 3), Eb = round(rnorm(n, 200, 15), 3)),
  integer = list(E = round(rnorm(n, 90, 6) + rexp(n, 1 / 60)), Eb = round(rnorm(n, 88, 5))),
  dark    = list(E = round(rnorm(n, 100, 20) + rexp(n, 1 / 15), 2), Eb = round(rnorm(n, 130, 10), 2)),
  sharp   = list(E = round(500 + rexp(n, 1 / 3000)), Eb = rep(400, n)))
sets$float$E[c(3, 50)] <- NA
sets$dark$Eb[17] <- NA
methods <- c("subtract", "half", "minimum", "edwards", "normexp", "normexp_mle")
table <- paste(c("set", "E", "Eb", methods), collapse = "\t")
par <- "set\tmethod\tmu\tlog_sigma\tlog_alpha\tm2loglik\tevaluations"
for (s in names(sets)) {
  E <- matrix(sets[[s]]$E, n, 1); Eb <- matrix(sets[[s]]$Eb, n, 1)
  cols <- lapply(methods, function(m) num(suppressWarnings(backgroundCorrect.matrix(E, Eb, verbose = FALSE,
    method = sub("_mle", "", m), normexp.method = if (m == "normexp_mle") "mle" else "saddle"))))
  table <- c(table, do.call(paste, c(list(s, num(E), num(Eb)), cols, sep = "\t")))
  for (m in c("saddle", "mle")) {
    o <- suppressWarnings(normexp.fit(E - Eb, method = m))
    count <- if (m == "saddle") as.character(o$fncount) else "NA"
    par <- c(par, paste(c(s, m, num(o$par), num(o$m2loglik), count), collapse = "\t"))
  }
}
writeLines(table, file.path(dir, "background.tsv"))
writeLines(par, file.path(dir, "normexp.tsv"))
