#!/usr/bin/env Rscript
# limma's whole chain (read, background, M and A, within-array normalization) on the simulated files in within/.
# Usage, from the root of the checkout: Rscript tests/golden/make_within.R tests/golden/within
# It needs limma (3.54.1 and R 4.2.2 were used; limma is run, not copied) and takes seconds. The files themselves come
# from make_within.py beside this script; after making them anew, run this again.
#
# within.tsv.gz: every ninth spot, and every spot that is flagged or missing in one of the arrays; all others are missing
# nowhere. 17 significant digits, "NA" is missing. Columns: <array>.<background>.<A or method>[.weighted].
suppressMessages(library(limma))
dir <- commandArgs(TRUE)[1]
files <- file.path(dir, c("simulated1.gpr.gz", "simulated2.gpr.gz"))
RG <- read.maimages(files, source = "genepix", wt.fun = wtflags(weight = 0, cutoff = 0), verbose = FALSE)
layout <- list(ngrid.r = 4, ngrid.c = 4, nspot.r = 14, nspot.c = 14)
weights <- RG$weights
RG$weights <- NULL
columns <- list()
for (background in c("subtract", "normexp")) {
  corrected <- backgroundCorrect(RG, method = background, offset = if (background == "normexp") 50 else 0, verbose = FALSE)
  for (method in c("none", "median", "loess", "printtiploess")) for (weighted in c(FALSE, TRUE)) {
    if (weighted && method == "none") next # weights mean nothing without a fit
    given <- if (weighted) weights else NULL
    MA <- normalizeWithinArrays(corrected, layout = layout, method = method, weights = given)
    for (j in 1:2) {
      if (method == "none") columns[[paste(j, background, "A", sep = ".")]] <- MA$A[, j]
      columns[[paste0(j, ".", background, ".", method, if (weighted) ".weighted" else "")]] <- MA$M[, j]
    }
  }
}
values <- do.call(cbind, columns)
n <- nrow(values)
shown <- which(seq_len(n) %% 9 == 1 | rowSums(is.na(values)) > 0 | rowSums(weights == 0) > 0)
text <- apply(values[shown, ], 2, function(x) ifelse(is.na(x), "NA", sprintf("%.17g", x)))
head <- data.frame(RG$genes[shown, c("Block", "Row", "Column")], weights[shown, ])
names(head)[4:5] <- c("1.weight", "2.weight")
out <- gzfile(file.path(dir, "within.tsv.gz"), "w", compression = 9)
write.table(cbind(head, text), out, sep = "\t", quote = FALSE, row.names = FALSE)
close(out)
