#!/usr/bin/env Rscript
# Reference values of corrections "print-order" and "plates": limma's normalizeForPrintorder on a simulated array.
# Usage: Rscript make_print_order.R > print_order.tsv     (limma 3.54.1, R 4.2.2 were used; limma is run, not copied)
# One row a spot, in the order of blocks, rows and columns: R, G, then the corrected R and G of every way to ask.
# Some intensities are missing, zero or negative; limma gives NA where a logarithm is missing.
suppressMessages(library(limma))
set.seed(47)
num <- function(x) ifelse(is.finite(x), sprintf("%.17g", x), "NA")
tips <- c(2, 3); spots <- c(9, 10)
printer <- list(ngrid.r = tips[1], ngrid.c = tips[2], nspot.r = spots[1], nspot.c = spots[2])
n <- prod(tips) * prod(spots)
index <- rep(seq_len(prod(spots)), prod(tips))
level <- rnorm(n, 9, 1.2) + 0.4 * sin(index / 14) + 0.5 * (index > 32)
R <- round(2^(level + rt(n, 3) * 0.2 + 0.002 * index), 3)
G <- round(2^(level + rt(n, 3) * 0.2), 3)
R[sample(n, 9)] <- NA; G[sample(n, 5)] <- NA
R[sample(n, 4)] <- -3; G[sample(n, 4)] <- 0
R[index %in% 50:53] <- R[index %in% 50:53] * 30   # dips that are far from all others
out <- list(R = R, G = G)
for (method in c("loess", "plate")) for (separate in c(FALSE, TRUE)) for (start in c("topleft", "topright")) {
  rg <- new("RGList", list(R = matrix(R), G = matrix(G), printer = printer))
  done <- suppressWarnings(
    normalizeForPrintorder(rg, printer, start = start, method = method, separate.channels = separate))
  name <- paste(method, if (separate) "separate" else "joint", start, sep = ".")
  out[[paste0("R.", name)]] <- done$R[, 1]
  out[[paste0("G.", name)]] <- done$G[, 1]
}
writeLines(paste(names(out), collapse = "\t"))
writeLines(do.call(paste, c(lapply(out, num), sep = "\t")))
