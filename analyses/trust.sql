-- How far can a month be trusted? Shares of its rows, and what republications changed.
select
    dataset, file_month, reversal_share, null_block_share, unknown_zone_share,
    out_of_range_share, rows_added_since + rows_removed_since as rows_changed_since
from {{ ref('month_quality') }}
order by dataset, file_month
