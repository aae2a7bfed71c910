#!/usr/bin/env Rscript
# Reference values of limma's kooperberg and nec on data generated here.
# Usage: Rscript make_kooperberg_nec.R OUT_DIR       writes kooperberg.tsv and nec.tsv
# (limma 3.54.1, R 4.2.2 were used; limma is run, not copied). "NA" is missing; 17 significant digits.
suppressMessages(library(limma))
set.seed(61)
dir <- commandArgs(TRUE)[1]
num <- function(x) ifelse(is.na(x), "NA", sprintf("%.17g", x))
write <- function(x, name) write.table(as.data.frame(lapply(x, function(v) if (is.double(v)) num(v) else v),
  check.names = FALSE), file.path(dir, name), sep = "\t", quote = FALSE, row.names = FALSE)
layout <- list(ngrid.r = 2, ngrid.c = 2, nspot.r = 5, nspot.c = 7)
n <- 140
places <- expand.grid(Column = 1:7, Row = 1:5, Block = 1:4)[, 3:1]
channel <- function(level) {
  back <- round(rnorm(n, level, 9))
  data.frame(F = back + round(rexp(n, 1 / 60) - 15), B = back + round(rnorm(n, 0, 3)), Fsd = round(runif(n, 20, 90)),
    Bsd = round(runif(n, 15, 60)), Bmean = back + round(rnorm(n, 1, 2)))
}
r <- channel(90); g <- channel(140)
pixels <- list(F = round(runif(n, 40, 120)), B = round(runif(n, 200, 600)))
other <- lapply(list("F635 SD" = r$Fsd, "B635 SD" = r$Bsd, "B635 Mean" = r$Bmean, "F532 SD" = g$Fsd, "B532 SD" = g$Bsd,
  "B532 Mean" = g$Bmean, "F Pixels" = pixels$F, "B Pixels" = pixels$B), as.matrix)
RG <- new("RGList", list(R = as.matrix(r$F), G = as.matrix(g$F), Rb = as.matrix(r$B), Gb = as.matrix(g$B),
  other = other, genes = places, printer = layout))
plain <- kooperberg(RG, a = FALSE, layout = layout)
found <- kooperberg(RG, a = TRUE, layout = layout)
write(c(as.list(places), list(R = r$F, G = g$F, Rb = r$B, Gb = g$B), lapply(other, as.vector), list(plain_R =
  plain$R[, 1], plain_G = plain$G[, 1], limma_R = found$R[, 1], limma_G = found$G[, 1])), "kooperberg.tsv")

type <- rep(c("regular", "negative", "regular"), c(70, 30, 20))
E <- cbind(ifelse(type == "negative", rnorm(120, 150, 12), 150 + rexp(120, 1 / 400)), rnorm(120, 100, 5))
Eb <- matrix(rnorm(240, 40, 4), 120, 2)
E[3, 1] <- NA  # of a missing negative control limma counts n as if it were there
E[80, 1] <- 900
x <- new("EListRaw", list(E = E, Eb = Eb, genes = data.frame(Status = type)))
plain <- nec(x)$E; robust <- nec(x, robust = TRUE)$E; alone <- nec(E, status = type)
write(list(SpotType = type, E1 = E[, 1], E2 = E[, 2], Eb1 = Eb[, 1], Eb2 = Eb[, 2], plain1 = plain[, 1],
  plain2 = plain[, 2], robust1 = robust[, 1], robust2 = robust[, 2], alone1 = alone[, 1], alone2 = alone[, 2]), "nec.tsv")
