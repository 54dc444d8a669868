{{ described_trips(['yellow', 'green']) }}
