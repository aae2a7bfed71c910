#!/usr/bin/env Rscript
# Reference values of limma's arrayWeights and printtipWeights on random numbers.
# Usage: Rscript make_array_weights.R > array_weights.tsv        (limma 3.54.1, R 4.2.2 were used; limma is run, not copied)
# A name and a number an array in each line: x, w and some are values, weights, and values of which some are missing,
# spot by spot; rows 10 and 11 of some fit exactly. Then results by name.
suppressMessages(library(limma))
set.seed(1)
spots <- 80; arrays <- 6
x <- round(matrix(rnorm(spots * arrays), spots, arrays) * rep(c(1, 1.5, .7, 1, 2, 1), each = spots), 4)
w <- round(matrix(runif(spots * arrays), spots, arrays), 4); w[sample(spots * arrays, 15)] <- 0
some <- x; some[sample(spots * arrays, 60)] <- NA
some[5, ] <- NA; some[6, 1:5] <- NA; some[7, 1:4] <- NA; some[8, 1:3] <- NA; some[9, 4:6] <- NA
some[10, ] <- 1; some[11, ] <- c(1, 1, 1, 2, 2, 2)
design <- cbind(1, c(0, 0, 0, 1, 1, 1))
put <- function(name, values) cat(name, ifelse(is.na(values), "NA", sprintf("%.15g", values)), sep = "\t", fill = FALSE)
line <- function(...) { put(...); cat("\n") }
for (i in seq_len(spots)) { line("x", x[i, ]); line("w", w[i, ]); line("some", some[i, ]) }
quiet <- function(e) suppressMessages(suppressWarnings(e))
whole <- rowSums(w == 0) == 0
line("reml", arrayWeights(x, design, method = "reml"))
line("reml.end", arrayWeights(x, design, method = "reml", tol = 1e-14))
line("reml.prior", arrayWeights(x, design, method = "reml", tol = 1e-14, prior.n = 100))
line("reml.three.steps", quiet(arrayWeights(x, design, method = "reml", tol = 1e-14, prior.n = 100, maxiter = 3)))
line("reml.replicates", arrayWeights(x, method = "reml", tol = 1e-14))
line("reml.weighted", arrayWeights(x[whole, ], design, w[whole, ], method = "reml", tol = 1e-14))
line("gene", arrayWeights(x, design, method = "genebygene"))
line("gene.prior", arrayWeights(x, design, method = "genebygene", prior.n = 100))
line("gene.replicates", arrayWeights(x, method = "genebygene"))
line("gene.some", arrayWeights(some, design, method = "genebygene"))
line("gene.weighted", arrayWeights(x, design, w, method = "genebygene"))
line("gene.some.weighted", arrayWeights(some, design, w, method = "genebygene"))
tips <- list(ngrid.r = 2, ngrid.c = 1, nspot.r = 5, nspot.c = 8)
two <- function(name, p) { line(paste0(name, ".1"), p[1, ]); line(paste0(name, ".2"), p[spots, ]) }
two("tips", printtipWeights(x, design, layout = tips))
