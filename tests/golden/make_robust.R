# Robust regression: effects by MASS's rlm, and limma's robustspline, on simulated values.
# (limma 3.54.1, MASS 7.3-58.2, R 4.2.2 were used; they are run, not copied)
# usage: Rscript --vanilla make_robust.R SEED EFFECTS.tsv SPLINES.tsv      (1 robust_effects.tsv robust_splines.tsv)
# Effects: value = array + group + match, a few far off; items whose match occurs in one place only are not there.
# Splines: 6 tips of 60 spots with trends of their own, missing values, a tip without any, one of two values of A, one of 20.
suppressMessages({ library(MASS); library(limma) })
given <- commandArgs(TRUE)
set.seed(as.integer(given[1]))
number <- function(x) ifelse(is.na(x), "NA", sprintf("%.17g", x))

fitted_effects <- function(d, factors) {
  design <- model.matrix(as.formula(paste("~", paste(c(factors, "match"), collapse = "+"))), d,
    contrasts.arg = setNames(as.list(rep("contr.sum", length(factors))), factors))
  found <- list()
  for (weighted in c(FALSE, TRUE)) {
    fit <- if (weighted) rlm(design, d$y, weights = d$weight, wt.method = "inv.var", acc = 1e-12, maxit = 500)
           else rlm(design, d$y, acc = 1e-12, maxit = 500)
    stopifnot(fit$converged)
    total <- numeric(nrow(d))
    for (name in factors) {
      own <- coef(fit)[grep(paste0("^", name, "[0-9]+$"), names(coef(fit)))]
      total <- total + c(own, -sum(own))[as.integer(d[[name]])]
    }
    found <- c(found, list(total))
  }
  found
}

rows <- list()
for (case in c("group", "array", "both")) {
  factors <- list(group = "group", array = "array", both = c("array", "group"))[[case]]
  n <- 400
  d <- data.frame(array = sample(6, n, TRUE), group = sample(5, n, TRUE), match = sample(40, n, TRUE))
  for (name in names(d)) if (!(name %in% c(factors, "match"))) d[[name]] <- 1L
  d$y <- 10 + rnorm(6)[d$array] * ("array" %in% factors) + rnorm(5)[d$group] * ("group" %in% factors) +
    rnorm(40, 0, 2)[d$match] + 0.2 * rt(n, 2)
  d$weight <- rgamma(n, 2)
  place <- d$array * 100 + d$group
  d <- d[ave(place, d$match, FUN = function(v) length(unique(v))) > 1, ]
  for (name in c("array", "group", "match")) d[[name]] <- factor(d[[name]])
  found <- fitted_effects(d, factors)
  rows <- c(rows, list(data.frame(case, array = d$array, group = d$group, match = d$match, y = number(d$y),
    weight = number(d$weight), effect = number(found[[1]]), weighted = number(found[[2]]))))
}
write.table(do.call(rbind, rows), given[2], sep = "\t", quote = FALSE, row.names = FALSE)

tip <- rep(1:6, each = 60)
A <- runif(360, 6, 15)
A[tip == 4] <- c(6.5, 7)
M <- 0.1 * (A - 10) + rnorm(6, 0, 0.3)[tip] + rnorm(6, 0, 0.05)[tip] * (A - 10)^2 + 0.2 * rt(360, 3)
M[sample(360, 25)] <- NA
A[sample(360, 15)] <- NA
M[tip == 3] <- NA
M[tip == 5][-(1:20)] <- NA
layout <- list(ngrid.r = 2, ngrid.c = 3, nspot.r = 6, nspot.c = 10)
out <- list(tip = tip, M = number(M), A = number(A))
for (df in c(3, 5, 7)) {
  out[[paste0("df", df)]] <- number(suppressWarnings(normalizeRobustSpline(M, A, layout, df = df)))
}
write.table(as.data.frame(out), given[3], sep = "\t", quote = FALSE, row.names = FALSE)
