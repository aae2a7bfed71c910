# Writes loess.tsv.gz beside this script: R's loess with direct computation, on data made here.
# Run: Rscript make_loess.R   (made with R 4.2)
# One row an item; columns: case degree span iterations x z (missing: one covariate) y w fitted trace.
# The trace is that of the smoother without robustness, once a case where iterations is 1.
set.seed(20261128)

sample_x <- function(n, kind) switch(kind,
  even = round(runif(n, 6, 15), 4), ties = round(rnorm(n, 10, 2), 1), clusters = round(sample(c(1, 2, 3, 9), n, TRUE) + rnorm(n, 0, 0.1), 3))
sample_w <- function(n, kind) switch(kind,
  none = rep(1, n), uniform = round(runif(n, 0.1, 1), 3), zeros = round(runif(n), 3) * (runif(n) > 0.3))
rows <- list()
add <- function(degree, span, iterations, x, z, w) {
  n <- length(x)
  y <- round(sin(x) + (if (is.null(z)) 0 else 0.1 * z) + rnorm(n, 0, 0.3), 3)
  hit <- runif(n) < 0.05
  y[hit] <- y[hit] + 10
  family <- if (iterations == 1) "gaussian" else "symmetric"
  control <- loess.control(surface = "direct", iterations = iterations, statistics = "exact", trace.hat = "exact")
  d <- data.frame(x, y, w)
  if (!is.null(z)) d$z <- z
  formula <- if (is.null(z)) y ~ x else y ~ x + z
  fit <- loess(formula, d, weights = w, span = span, degree = degree, family = family, control = control)
  rows[[length(rows) + 1]] <<- data.frame(case = length(rows), degree, span, iterations, x, z = if (is.null(z)) NA else z, y, w,
    fitted = fit$fitted, trace = if (iterations == 1) fit$trace.hat else NA)
}

for (degree in 0:1) for (kind in c("even", "ties", "clusters")) for (wkind in c("none", "uniform", "zeros"))
  for (span in c(0.3, 0.4, 1)) {
    iterations <- c(1, 4, 5)[sample(3, 1)]
    add(degree, span, iterations, sample_x(if (kind == "even") 40 else 60, kind), NULL, sample_w(if (kind == "even") 40 else 60, wkind))
  }
for (degree in 0:1) for (wkind in c("none", "uniform", "zeros")) for (iterations in c(1, 4, 5)) {
  grid <- expand.grid(x = 1:9, z = 1:8)
  add(degree, 0.3, iterations, grid$x, grid$z, sample_w(72, wkind))
  add(degree, 0.4, iterations, round(runif(80, 6, 15), 3), round(rnorm(80, 0, 20), 2), sample_w(80, wkind))
}

table <- do.call(rbind, rows)
number <- function(v) ifelse(is.na(v), "nan", sprintf("%.17g", v))
short <- function(v) ifelse(is.na(v), "nan", format(v, digits = 10, trim = TRUE, scientific = FALSE, drop0trailing = TRUE))
for (name in c("x", "z", "y", "w")) table[[name]] <- sapply(table[[name]], short)
for (name in c("fitted", "trace")) table[[name]] <- number(table[[name]])
out <- gzfile("loess.tsv.gz", "w", compression = 9)
write.table(table, out, sep = "\t", quote = FALSE, row.names = FALSE)
close(out)
