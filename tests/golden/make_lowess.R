# Writes lowess.tsv.gz beside this script: curves of limma::loessFit on data made here.
# Run: Rscript make_lowess.R   (made with R 4.2, limma 3.54.1)
# One row an item, in the order given to loessFit; columns: case span iterations weighted x y w fitted.
suppressMessages(library(limma))
set.seed(20240607)

sample_x <- function(n, kind) switch(kind,
  grid4 = round(runif(n, 6, 15), 4), grid2 = round(rnorm(n, 10, 2), 2), grid1 = round(rexp(n, 0.5), 1),
  clusters = round(sample(c(1, 2, 3, 9), n, TRUE) + rnorm(n, 0, 0.1), 3),
  constant = rep(7.5, n), two = sample(c(7.25, 11.5), n, TRUE))
sample_w <- function(n, kind) switch(kind,
  none = rep(NA, n), uniform = round(runif(n), 3), two = sample(c(0.1, 1), n, TRUE),
  zeros = as.numeric(runif(n) > 0.3), levels = sample(0:4 / 4, n, TRUE), missing = ifelse(runif(n) < 0.2, NA, round(runif(n), 3)),
  huge = signif(rgamma(n, 0.3) * 1e7, 4), constant = rep(0.3, n))

rows <- list()
add <- function(n, span, iterations, xkind, wkind, outliers = FALSE, missing = FALSE, y = NULL) {
  x <- sample_x(n, xkind)
  w <- sample_w(n, wkind)
  if (is.null(y)) y <- sin(x) + rnorm(n, 0, 0.3)
  if (outliers) { hit <- runif(n) < 0.1; y[hit] <- y[hit] * 1000 }
  y <- round(y, 3)
  if (missing) { x[runif(n) < 0.05] <- NaN; y[runif(n) < 0.05] <- NaN }
  weights <- if (wkind == "none") NULL else w
  fit <- suppressWarnings(loessFit(y, x, weights = weights, span = span, iterations = iterations)$fitted)
  rows[[length(rows) + 1]] <<- data.frame(case = length(rows), span, iterations, weighted = as.integer(wkind != "none"), x, y, w, fitted = fit)
}

xkinds <- c("grid4", "grid2", "grid1", "clusters")
wkinds <- c("none", "uniform", "two", "zeros", "levels", "missing", "huge", "constant")
for (n in c(17, 40, 90, 170)) for (w in wkinds) for (k in 1:3) {
  span <- if (n == 17) c(0.3, 0.5, 0.7)[k] else if (n == 40) c(0.2, 0.3, 0.7)[k] else c(0.1, 0.3, 0.5)[k]
  add(n, span, c(1, 2, 3, 4, 4, 6)[sample(6, 1)], xkinds[sample(4, 1)], w, outliers = runif(1) < 0.3, missing = runif(1) < 0.3)
}
for (w in c("none", "uniform", "two", "zeros")) add(420, 0.3, 4, "grid2", w, missing = TRUE)
for (w in c("none", "two")) add(2200, 0.7, 4, "grid4", w, outliers = TRUE)
for (n in 1:7) add(n, 0.3, 4, "grid4", "uniform")
for (n in 1:3) add(n, 0.3, 4, "grid4", "none")
for (w in c("none", "uniform", "two")) {
  add(40, 0.3, 4, "constant", w)
  add(40, 0.3, 4, "two", w)
  add(40, 0.3, 4, "grid4", w, y = rep(1.25, 40))
}
add(6, 0.3, 4, "constant", "uniform")

table <- do.call(rbind, rows)
number <- function(v) ifelse(is.na(v), "nan", sprintf("%.17g", v))
short <- function(v) ifelse(is.na(v), "nan", format(v, digits = 10, trim = TRUE, scientific = FALSE, drop0trailing = TRUE))
table$x <- sapply(table$x, short); table$y <- sapply(table$y, short); table$w <- sapply(table$w, short)
table$fitted <- number(table$fitted)
out <- gzfile("lowess.tsv.gz", "w", compression = 9)
write.table(table, out, sep = "\t", quote = FALSE, row.names = FALSE)
close(out)
