"""LineCompress beside other ways to store weights, at equal accuracy and counting every byte."""
