# Steps of limma's main job in one process, one per line read: prints the CPU and wall seconds of each.
# usage: Rscript --vanilla limma_steps.R FILE.gpr OUT.tsv      lines: read normexp kooperberg loess weighted spline twod write
given <- commandArgs(TRUE)
suppressMessages(library(limma))
weights <- wtflags(weight = 0, cutoff = 0)
read <- function(...) read.maimages(given[1], source = "genepix", verbose = FALSE, ...)
plain <- read()
titles <- c(outer(c("F", "B"), c("635 SD", "532 SD"), paste0), "B635 Mean", "B532 Mean", "F Pixels", "B Pixels")
spread <- function() read(other.columns = titles)
marked <- backgroundCorrect(read(wt.fun = weights), method = "subtract", verbose = FALSE)
subtracted <- backgroundCorrect(plain, method = "subtract", verbose = FALSE)
done <- normalizeWithinArrays(subtracted, method = "printtiploess")
# What marray's twoD fits to each print-tip, with R's own loess; marray itself is not needed.
direct <- loess.control(surface = "direct", iterations = 5)
twod <- function(RG) {
  M <- MA.RG(RG, bc.method = "none")$M[, 1]
  for (spots in split(seq_along(M), RG$genes$Block)) {
    known <- spots[is.finite(M[spots])]
    at <- data.frame(M = M[known], row = RG$genes$Row[known], column = RG$genes$Column[known])
    M[known] <- residuals(loess(M ~ row + column, at, span = 0.4, degree = 1, family = "symmetric", control = direct))
  }
  M
}
steps <- list(
  read = function() read(),
  normexp = function() backgroundCorrect(plain, method = "normexp", offset = 50, verbose = FALSE),
  kooperberg = function() kooperberg(spread(), a = TRUE, layout = getLayout(plain$genes)),
  loess = function() normalizeWithinArrays(subtracted, method = "printtiploess"),
  weighted = function() normalizeWithinArrays(marked, method = "printtiploess"),
  spline = function() normalizeWithinArrays(subtracted, method = "robustspline"),
  twod = function() twod(subtracted),
  write = function() write.table(cbind(done$genes, done$M, done$A), given[2], sep = "\t", quote = FALSE, row.names = FALSE))
input <- file("stdin", "r")
cat("ready\n")
while (length(step <- readLines(input, 1))) {
  used <- system.time(for (i in 1:3) steps[[step]](), gcFirst = TRUE)
  cat(sprintf("%.6f %.6f\n", (used[["user.self"]] + used[["sys.self"]]) / 3, used[["elapsed"]] / 3))
  flush(stdout())
}
