-- Rows that are written some seconds later come here once, also when the answer to their COMMIT was lost.
create unique index audit_record on audit ((detail ->> 'record')) where detail ? 'record';
