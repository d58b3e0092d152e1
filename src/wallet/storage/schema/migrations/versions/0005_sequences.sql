-- Each sequence belongs to the column that it numbers, so that the catalogue says which end of which table it is to be
-- compared with (docs/adr/0026).
ALTER SEQUENCE batch_seq OWNED BY batches.seq;
