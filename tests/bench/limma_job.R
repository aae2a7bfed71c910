# limma's main job: read, correct the background, normalize by print-tip, write one table of M and A.
# usage: Rscript --vanilla limma_job.R OUT.tsv subtract|normexp FILE.gpr...
given <- commandArgs(TRUE)
suppressMessages(library(limma))
RG <- read.maimages(given[-(1:2)], source = "genepix", verbose = FALSE)
RG <- backgroundCorrect(RG, method = given[2], offset = if (given[2] == "normexp") 50 else 0, verbose = FALSE)
MA <- normalizeWithinArrays(RG, method = "printtiploess")
write.table(cbind(MA$genes[, c("Block", "Row", "Column", "ID", "Name")], MA$M, MA$A), given[1], sep = "\t", quote = FALSE, row.names = FALSE)
